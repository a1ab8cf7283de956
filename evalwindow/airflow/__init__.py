"""What the DAGs and the plugin need of Airflow. Nothing of the core imports this package."""

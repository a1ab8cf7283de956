"""What DAGs tell each other."""

from airflow.sdk import Asset

#: An event of it: runs of a night passed and may be promoted. Its extra is {"night": id, "runs": [run ids]}.
PASSED = Asset(name="evalwindow_passed")

"""evalwindow in Airflow. Only names: what they do is in evalwindow.airflow."""

from airflow.plugins_manager import AirflowPlugin

from evalwindow.airflow import listener
from evalwindow.airflow.links import RunPage
from evalwindow.airflow.timetable import WindowTimetable


class EvalwindowPlugin(AirflowPlugin):
    name = "evalwindow"
    timetables = [WindowTimetable]
    listeners = [listener]
    operator_extra_links = [RunPage()]

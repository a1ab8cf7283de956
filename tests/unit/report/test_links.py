from evalwindow.report.links import Links


def test_paths_are_below_the_place_that_the_pages_are_mounted_at():
    links = Links(base="/airflow/evals", home="/")
    assert links.nights() == "/airflow/evals/"
    assert links.night("n1") == "/airflow/evals/nights/n1"
    assert links.run("r1") == "/airflow/evals/runs/r1"
    assert links.datadocs("key/index.html") == "/airflow/evals/datadocs/key/index.html"


def test_what_is_not_asked_for_is_not_in_the_query():
    links = Links()
    assert links.nights(suite="a b", model=None) == "/nights?suite=a+b"
    assert links.trends() == "/trends"
    assert links.compare("r1", "r2", page=1) == "/compare?run=r1&other=r2"
    assert links.compare("r1", "r2", show="down", page=2) == "/compare?run=r1&other=r2&show=down&page=2"


def test_a_name_can_not_leave_its_place():
    links = Links()
    assert links.night("../runs") == "/nights/..%2Fruns"
    assert links.trends('"><script>') == "/trends?suite=%22%3E%3Cscript%3E"
    assert links.datadocs("a?b#c") == "/datadocs/a%3Fb%23c"

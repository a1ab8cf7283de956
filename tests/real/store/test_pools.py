from evalwindow.model import EngineInfo

INFO = EngineInfo(engine="vllm", version="1", model_digest="abc", details={"gpu": "x"})


def test_the_last_sign_of_life_of_each_engine_is_kept(store):
    store.heartbeat("warm", "host:1", None, "starting")
    store.heartbeat("warm", "host:1", INFO, "ready")
    store.heartbeat("warm", "host:2", INFO, "draining")
    store.heartbeat("cold", "host:3", INFO, "ready")
    assert [(each.worker, each.state) for each in store.engines("warm")] == [
        ("host:1", "ready"),
        ("host:2", "draining"),
    ]
    assert store.engines("warm")[0].info == INFO
    assert len(store.engines()) == 3


def test_an_engine_that_never_got_ready_has_no_identity(store):
    store.heartbeat("warm", "host:1", None, "starting")
    assert store.engines()[0].info is None


def test_silent_engines_can_be_left_out(store):
    store.heartbeat("warm", "host:1", INFO, "ready")
    assert len(store.engines(seen_within_s=3600)) == 1
    assert store.engines(seen_within_s=-3600) == []

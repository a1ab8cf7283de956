from evalwindow.model import EngineInfo
from evalwindow.store.engine_rows import EngineLoad, LaneLoad

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


def test_an_engine_tells_since_when_it_is_as_it_is(store):
    def say(state, generation):
        store.heartbeat("warm", "host:1", INFO, state, generation=generation)
        return store.engines("warm")[0]

    first = say("ready", 1)
    again = say("ready", 1)
    assert (again.since, again.generation) == (first.since, 1)
    assert again.seen_at > first.seen_at
    assert say("ready", 2).since > first.since
    assert say("resting", 2).since > first.since


def test_what_an_engine_did_is_kept_with_its_sign_of_life(store):
    lanes = {"smoke": LaneLoad(prompts=3, gpu_s=1.5), "regression": LaneLoad(in_flight=7)}
    load = EngineLoad(busy_s=2.0, lost_s=0.5, lanes=lanes, kv_usage=0.25, adapters=("lora-a",), busy_share=0.9)
    store.heartbeat("warm", "host:1", INFO, "ready", load=load)
    assert store.engines("warm")[0].load == load
    store.heartbeat("warm", "host:1", INFO, "stopped")
    assert store.engines("warm")[0].load is None

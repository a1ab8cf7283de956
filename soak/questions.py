"""The questions that the invariants ask the database. Those in a tuple give one line for each thing that is wrong."""

from __future__ import annotations

#: A trigger, so that nobody who changes a run can forget to say so.
WATCH = (
    "CREATE SCHEMA IF NOT EXISTS soak",
    """
    CREATE TABLE IF NOT EXISTS soak.ending (
        run_id text NOT NULL, state text NOT NULL, answer text, at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    """
    CREATE OR REPLACE FUNCTION soak.note_ending() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO soak.ending (run_id, state, answer) VALUES (NEW.id, NEW.state, NEW.answer);
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE TRIGGER soak_ending AFTER UPDATE ON run FOR EACH ROW
    WHEN (NEW.state NOT IN ('queued', 'running') AND (
        OLD.state, OLD.answer, OLD.verdict, OLD.concluded_at
    ) IS DISTINCT FROM (NEW.state, NEW.answer, NEW.verdict, NEW.concluded_at))
    EXECUTE FUNCTION soak.note_ending()
    """,
)

SUITES = "SELECT digest, document FROM suite_version"

#: A night that comes may go on with a run whose window is over; such a one waits, and is not stuck.
UNDER_WAY = (
    """
    SELECT 'run ' || id || ' is ' || state FROM run
    WHERE state IN ('queued', 'running') AND (window_end IS NULL OR window_end > clock_timestamp() OR NOT EXISTS (
        SELECT FROM shard WHERE run_id = run.id AND shard.state IN ('pending', 'dispatched', 'running')
    ))
    ORDER BY id
    """,
    """
    SELECT 'shard ' || shard.id || ' is ' || shard.state || ', its run ' || run.state
    FROM shard JOIN run ON run.id = shard.run_id
    WHERE shard.state IN ('pending', 'dispatched', 'running') AND run.state NOT IN ('queued', 'running')
    """,
    "SELECT 'event ' || id || ' is ' || state FROM event WHERE state IN ('received', 'processing') ORDER BY id",
    "SELECT 'delivery ' || id || ' is ' || state FROM delivery WHERE state IN ('waiting', 'sending') ORDER BY id",
)

LOST = (
    "SELECT 'run ' || id || ' failed: ' || coalesce(error, '') FROM run WHERE state = 'failed' ORDER BY id",
    "SELECT 'event ' || id || ' failed: ' || coalesce(error, '') FROM event WHERE state = 'failed' ORDER BY id",
)

UNTOLD = ("SELECT 'delivery ' || id || ' failed: ' || coalesce(error, '') FROM delivery WHERE state = 'failed'",)

MAILED = "SELECT id, external_id FROM delivery WHERE state = 'sent' AND channel LIKE 'mail:%' ORDER BY id"

#: Samples of concluded runs that a shard names and nobody answered.
NO_RESULT = """
    WITH suite AS (
        SELECT * FROM unnest(CAST(:digests AS text[]), CAST(:epochs AS integer[])) AS given (digest, epochs)
    )
    SELECT 'run ' || run.id || ' sample ' || sample_id || ' epoch ' || epoch || ': shard ' || shard.state
    FROM run JOIN suite ON suite.digest = run.suite_digest JOIN shard ON shard.run_id = run.id,
        unnest(shard.sample_ids) AS sample_id, generate_series(0, suite.epochs - 1) AS epoch
    WHERE run.state = 'concluded' AND NOT EXISTS (
        SELECT FROM result WHERE result.run_id = run.id AND result.sample_id = sample_id.sample_id
            AND result.epoch = epoch.epoch
    )
"""

#: Results that no shard of the run asked for; a tripwire's further calls are marked.
UNASKED = """
    WITH suite AS (
        SELECT * FROM unnest(CAST(:digests AS text[]), CAST(:epochs AS integer[])) AS given (digest, epochs)
    )
    SELECT 'run ' || run.id || ' sample ' || result.sample_id || ' epoch ' || result.epoch || ': nobody asked for it'
    FROM result JOIN run ON run.id = result.run_id JOIN suite ON suite.digest = run.suite_digest
    WHERE (result.epoch >= suite.epochs AND NOT result.reask) OR NOT EXISTS (
        SELECT FROM shard WHERE shard.run_id = run.id AND result.sample_id = ANY (shard.sample_ids)
    )
"""

TWICE = (
    """
    SELECT 'run ' || shard.run_id || ' sample ' || sample_id || ': in ' || count(*) || ' shards'
    FROM shard, unnest(shard.sample_ids) AS sample_id GROUP BY shard.run_id, sample_id HAVING count(*) > 1
    """,
    """
    SELECT repo || '#' || pull_request || ' at ' || head_sha || ': ' || count(*) || ' runs of ' || suite
    FROM run WHERE pull_request IS NOT NULL AND state <> 'superseded'
    GROUP BY repo, pull_request, head_sha, suite HAVING count(*) > 1
    """,
)

ENDED_TWICE = """
    SELECT 'run ' || run_id || ': ' || string_agg(concat_ws(' ', state, answer), ', then ' ORDER BY at)
    FROM soak.ending GROUP BY run_id HAVING count(*) > 1
"""

ANSWERS = """
    SELECT id, suite, state, answer, head_sha FROM run
    WHERE state NOT IN ('queued', 'running') AND repo IS NOT NULL AND head_sha IS NOT NULL ORDER BY id
"""

#: The newest run of each pull request's newest commit, where that is concluded.
NEWEST = """
    SELECT * FROM (
        SELECT DISTINCT ON (repo, pull_request) id, repo, pull_request, head_sha, state FROM run
        WHERE repo IS NOT NULL AND pull_request IS NOT NULL
        ORDER BY repo, pull_request, coalesce(ordinal, 0) DESC, id DESC
    ) AS newest WHERE state = 'concluded' AND head_sha IS NOT NULL
"""

#: What is booked for each team, beside what its runs and results say.
USAGE = """
    WITH booked AS (
        SELECT team, sum(gpu_s) AS gpu_s, sum(cost) AS cost, sum(results)::bigint AS results, sum(runs)::bigint AS runs
        FROM usage GROUP BY team
    ),
    admitted AS (SELECT team, count(*) AS runs FROM run GROUP BY team),
    answered AS (
        SELECT run.team, sum(result.gpu_s) AS gpu_s, sum(result.cost) AS cost, count(*) AS results
        FROM result JOIN run ON run.id = result.run_id GROUP BY run.team
    )
    SELECT team, coalesce(booked.gpu_s, 0) AS gpu_s, coalesce(answered.gpu_s, 0) AS gpu_s_found,
        coalesce(booked.cost, 0) AS cost, coalesce(answered.cost, 0) AS cost_found,
        coalesce(booked.results, 0) AS results, coalesce(answered.results, 0) AS results_found,
        coalesce(booked.runs, 0) AS runs, coalesce(admitted.runs, 0) AS runs_found
    FROM booked FULL JOIN admitted USING (team) FULL JOIN answered USING (team) ORDER BY team
"""

SUMMARIES = """
    SELECT run.id, (summary ->> 'results')::bigint AS results, (summary ->> 'gpu_s')::float8 AS gpu_s,
        count(result.run_id) FILTER (WHERE NOT result.reask) AS results_found,
        coalesce(sum(result.gpu_s), 0) AS gpu_s_found
    FROM run LEFT JOIN result ON result.run_id = run.id
    WHERE run.state = 'concluded' GROUP BY run.id, run.summary ORDER BY run.id
"""

#: What is in an engine has not paid for its time yet.
ENGINES = """
    SELECT pool, worker, (load ->> 'busy_s')::float8 AS busy_s,
        (SELECT coalesce(sum((value ->> 'in_flight')::integer), 0) FROM jsonb_each(load -> 'lanes')) AS in_flight,
        (load ->> 'lost_s')::float8
            + (SELECT coalesce(sum((value ->> 'gpu_s')::float8), 0) FROM jsonb_each(load -> 'lanes')) AS used_s
    FROM engine WHERE load IS NOT NULL ORDER BY pool, worker
"""

from benchmarks.batch_effects import Changed, Pass


def test_outputs_and_scores_are_counted_apart() -> None:
    one = Pass(outputs=("a", "b", "c", "d", "e"), scores=(1.0, 1.0, 0.0, None, 0.5))
    other = Pass(outputs=("a", "B", "C", "D", "e"), scores=(1.0, 0.0, 1.0, 1.0, 0.5))
    assert Changed.between(one, other) == Changed(outputs=3, down=1, up=1, n=5)
    assert Changed.between(one, one) == Changed(outputs=0, down=0, up=0, n=5)

from concurrent.futures import ThreadPoolExecutor

from evalwindow.store.ids import ALPHABET, LENGTH, new_id


def test_ids_sort_in_the_order_of_their_creation():
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(ids)


def test_ids_of_many_threads_are_distinct():
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: new_id(), range(8000)))
    assert len(set(ids)) == len(ids)


def test_an_id_can_stand_in_a_url_and_a_token():
    assert all(len(each) == LENGTH and set(each) <= set(ALPHABET) for each in (new_id() for _ in range(100)))

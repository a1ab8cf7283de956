import pytest

from tests.real.upkeep.house import House


@pytest.fixture
def house(tmp_path, database_url, redis):
    built = House(tmp_path, database_url=database_url, redis_url=redis.url)
    yield built
    built.close()

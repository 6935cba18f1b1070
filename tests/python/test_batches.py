import numpy as np

from transip_md.training.batches import EndlessBatches, by_atoms

COUNTS = np.array([3, 9, 5, 9, 3, 21, 5, 3, 40])


def taken(sampler, count):
    iterator = iter(sampler)
    return [next(iterator) for _ in range(count)]


def test_batches_by_atoms_hold_like_sizes_and_no_more_than_allowed():
    batches = by_atoms(COUNTS, np.random.default_rng(0).permutation(9), 20)
    assert sorted(np.concatenate(batches).tolist()) == list(range(9))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * COUNTS[batch].max() <= 20
    assert [sorted(batch.tolist()) for batch in batches] == [[0, 4, 7], [2, 6], [1, 3], [5], [8]] or len(batches) == 5


def test_every_row_comes_once_in_an_epoch():
    for options in ({"batch_size": 3}, {"batch_atoms": 20}):
        sampler = EndlessBatches(np.arange(9), COUNTS, seed=1, **options)
        epoch = len(sampler._epoch(0))
        for start in range(3):
            rows = [row for batch in taken(sampler, 3 * epoch)[start * epoch : (start + 1) * epoch] for row in batch]
            assert sorted(rows) == list(range(9))
    assert taken(EndlessBatches(np.arange(9), COUNTS, seed=1, batch_size=3), 3) != taken(
        EndlessBatches(np.arange(9), COUNTS, seed=2, batch_size=3), 3
    )


def test_a_later_start_gives_the_rest():
    whole = taken(EndlessBatches(np.arange(9), COUNTS, seed=1, batch_atoms=20), 20)
    rest = taken(EndlessBatches(np.arange(9), COUNTS, seed=1, batch_atoms=20, start=7), 13)
    assert rest == whole[7:]


def test_processes_share_the_batches():
    whole = taken(EndlessBatches(np.arange(9), COUNTS, seed=1, batch_size=2), 12)
    parts = [
        taken(EndlessBatches(np.arange(9), COUNTS, seed=1, batch_size=2, rank=rank, world=3, start=1), 3)
        for rank in range(3)
    ]
    assert [batch for step in zip(*parts, strict=True) for batch in step] == whole[3:12]


def test_fewer_rows_than_a_batch():
    assert sorted(taken(EndlessBatches(np.arange(2), COUNTS, seed=1, batch_size=16), 1)[0]) == [0, 1]

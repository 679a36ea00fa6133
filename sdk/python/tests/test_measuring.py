"""The measurements run and measure what they say; how fast is for benchmarks to say."""

from epochal import measuring


def test_every_call_is_measured_and_packed():
    cost = measuring.log_call_cost(calls=2000, metrics=3)
    assert cost.calls == 2000
    assert cost.dropped == 0
    assert 0 < cost.best_us <= cost.mean_us


def test_every_point_is_packed():
    speed = measuring.pack_speed(columns=2, points=100)
    assert speed.points == 200
    assert speed.points_per_s > 0
    assert speed.bytes_per_point > 0

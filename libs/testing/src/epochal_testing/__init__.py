"""Testing kit: real servers, fault proxy, contract suites, hand-turned clock."""

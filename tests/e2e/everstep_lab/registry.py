"""The list of checks: a function per check, named for the property."""

CHECKS = {}


def check(name, seconds=300, long_seconds=1800):
    """Registers a check; `seconds` is its deadline in a short run."""
    def register(function):
        assert name not in CHECKS, name
        CHECKS[name] = (function, seconds, long_seconds)
        return function
    return register

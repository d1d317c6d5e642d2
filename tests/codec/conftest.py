from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine's other work, not about the codec.
settings.register_profile("codec", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("codec")

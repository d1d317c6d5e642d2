"""How to have the plugin in a run of pytest: where the project is installed, it is there already."""

from importlib.metadata import entry_points

_IS_INSTALLED = any(each.name == "amqp_broker" for each in entry_points(group="pytest11"))

PLUGIN: tuple[str, ...] = () if _IS_INSTALLED else ("-p", "amqp_broker.pytest_plugin")

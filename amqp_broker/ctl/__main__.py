"""`python -m amqp_broker.ctl` is `amqp-brokerctl`."""

import sys

from amqp_broker.ctl.main import main

sys.exit(main())

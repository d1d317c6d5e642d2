"""`python -m amqp_brokerctl` is `amqp-brokerctl`."""

import sys

from amqp_brokerctl.main import main

sys.exit(main())

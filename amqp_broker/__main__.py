"""`python -m amqp_broker` is `amqp-broker`."""

import sys

from amqp_broker.cli.start import main

sys.exit(main())

"""The same random operations against this broker and a real RabbitMQ, and every answer compared."""

"""Small applications on frameworks; the tests run their workers as processes."""

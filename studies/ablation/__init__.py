"""What each ingredient of Wide & Deep gives, measured on validation rows."""

"""The contribution of each ingredient of Wide & Deep, measured on validation rows."""

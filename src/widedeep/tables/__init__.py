"""The canonical tables: checked and split ratings, and the items and users in them. All data sets have this form."""

"""Everything that a person looks at: charts, pages, templates and sentences, made from metrics and tables."""

"""All that a person looks at: charts, pages, templates and sentences, made of metrics and tables."""

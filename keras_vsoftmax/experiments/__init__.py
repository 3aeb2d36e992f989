"""What the benchmark scripts share: data, recipes, runs, records, figures, report."""

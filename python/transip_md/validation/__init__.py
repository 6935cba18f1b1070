"""May this model be trusted in molecular dynamics? Checks with thresholds, a certificate and a report."""

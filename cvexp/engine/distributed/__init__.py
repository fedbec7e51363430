"""One training on several devices: a process each, which exchange gradients with torch's DistributedDataParallel."""

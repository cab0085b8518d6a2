"""Categories: kinds of tasks, each with prompts, demonstrations, requirements and thresholds from a YAML file."""

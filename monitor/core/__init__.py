"""Pure decisions: values in, values out; no input, output, clock or torch."""

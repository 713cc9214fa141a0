"""What joins the steps: a bounded queue in one process, Kafka between several."""

"""The intermediate representation: nodes, graphs and circuits, and what they compute."""

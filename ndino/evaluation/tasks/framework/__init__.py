"""What the tasks share: their base class, preparation of rows, instructions, scores and templates."""

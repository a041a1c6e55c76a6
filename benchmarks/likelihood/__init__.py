"""Multiple choice by likelihood: all letters in one pass, against one letter at a time."""

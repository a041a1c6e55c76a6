from __future__ import annotations

from ndino.evaluation.generation import generation_options


def test_a_temperature_of_zero_is_greedy_and_sampling_settings_are_dropped():
    greedy = generation_options({"temperature": 0, "top_p": 0.9, "max_new_tokens": 16, "until": ["\n"]})
    assert greedy == {
        "do_sample": False,
        "temperature": None,
        "top_p": None,
        "num_beams": 1,
        "max_new_tokens": 16,
    }


def test_a_temperature_samples_with_its_settings():
    options = generation_options({"temperature": 0.7, "top_p": 0.9, "num_beams": 2})
    assert (options["do_sample"], options["temperature"], options["top_p"]) == (True, 0.7, 0.9)
    assert (options["num_beams"], options["max_new_tokens"]) == (2, 1024)

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from ndino.common.interrupts import raise_if_interrupted, remembered_interrupts


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


class Dropping:
    def __del__(self) -> None:
        press()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_a_destructor_dropped_is_raised_again():
    with remembered_interrupts():
        raise_if_interrupted()
        dropping = Dropping()
        del dropping
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
    raise_if_interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_raised_at_once_elsewhere():
    with pytest.raises(KeyboardInterrupt), remembered_interrupts():
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_stays(monkeypatch: pytest.MonkeyPatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with remembered_interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            press()
            raise_if_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_may_enter():
    entered: list[bool] = []

    def enter() -> None:
        with remembered_interrupts():
            entered.append(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]

"""What may take long, or never ends, is done beside whoever wants it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def beside(do: Callable[[], None]) -> Future[None]:
    """In a thread of its own that nobody waits for, also not at the end of this process."""
    future: Future[None] = Future()

    def work() -> None:
        try:
            do()
        except BaseException as error:  # whatever it is belongs to who asked
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=work, name="beside", daemon=True).start()
    return future

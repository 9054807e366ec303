"""How busy this machine is while a run trains on it: small, and only what is known. What the run has of the memory
stands among its own figures.
"""

from ...usage import Usage

GB = 2**30


def machine_strip(usage: Usage | None) -> str:
    """A figure each, with the share of the run within that of all."""
    if usage is None:
        return ""
    figures = [
        _share("CPU", usage.cpu, usage.process_cpu),
        _memory("Memory", usage.memory, usage.memory_total),
        _share("GPU", usage.gpu),
        _memory("GPU memory", usage.gpu_memory, usage.gpu_memory_total),
        _figure("Temperature", f"{usage.temperature:.0f} °C") if usage.temperature is not None else "",
        _power(usage),
    ]
    return "".join(figures)


def _share(name: str, share: float | None, of_run: float | None = None) -> str:
    if share is None:
        return ""
    own = "" if of_run is None else f"{of_run:.0%}"
    return _figure(name, f"{share:.0%}", own, share, of_run)


def _memory(name: str, used: float | None, total: float | None) -> str:
    if used is None or not total:
        return ""
    return _figure(name, f"{used / GB:.1f} of {total / GB:.0f} GB", share=used / total)


def _power(usage: Usage) -> str:
    if usage.power is None:
        return ""
    if not usage.power_limit:
        return _figure("Power", f"{usage.power:.0f} W")
    words = f"{usage.power:.0f} of {usage.power_limit:.0f} W"
    return _figure("Power", words, share=usage.power / usage.power_limit)


def _figure(name: str, words: str, own: str = "", share: float | None = None, of_run: float | None = None) -> str:
    """`own`: what of it is the run's; `share`, `of_run`: how far the bar is filled, and how far by the run."""
    run = f"<small>this run {own}</small>" if own else ""
    bar = ""
    if share is not None:
        inner = "" if of_run is None else f'<b style="width:{_percent(min(of_run, share))}"></b>'
        bar = f'<span class="fill"><i style="width:{_percent(share)}"></i>{inner}</span>'
    return f"<div><dt>{name}</dt><dd>{words} {run}{bar}</dd></div>"


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.0f}%"

() => {
  // The face is drawn a moment later: until then nothing on it takes the focus.
  let tries = 20;
  const take = () => {
    const one = document.querySelector('SELECTOR');
    one?.focus();
    if (document.activeElement !== one && tries-- > 0) setTimeout(take, 50);
  };
  take();
}

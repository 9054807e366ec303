() => {
  // The face is drawn a moment later: until then nothing on it takes the focus.
  let tries = 20;
  const take = () => {
    const place = document.getElementById('PLACE'), one = place?.querySelector('input') || place;
    one?.focus();
    if (document.activeElement !== one && tries-- > 0) setTimeout(take, 50);
  };
  take();
}

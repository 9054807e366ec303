command => {
  // `command`: that of what stands on the form now, empty where it has mistakes.
  const menu = document.getElementById('start-menu'), said = menu.querySelector('[role=status]');
  const texts = menu.querySelectorAll('i[hidden]'), tell = one => { said.textContent = texts[one].textContent; };
  if (!command) return tell(1);
  const oldWay = () => {  // without https a page has no clipboard; then it is copied out of a field
    const box = document.createElement('textarea'); box.value = command; document.body.append(box);
    box.select(); const copied = document.execCommand('copy'); box.remove();
    tell(copied ? 0 : 2);
    menu.querySelector('button').focus();
  };
  if (!navigator.clipboard) return oldWay();
  navigator.clipboard.writeText(command).then(() => tell(0), oldWay);
}

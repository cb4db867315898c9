const label = document.querySelector(".search");
const items = [...document.querySelectorAll(".applications li")];
const nothing = document.querySelector(".nothing");
label.hidden = false;
label.querySelector("input").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of items) {
    item.hidden = !words.every((word) => item.dataset.words.includes(word));
  }
  nothing.hidden = items.some((item) => !item.hidden);
});

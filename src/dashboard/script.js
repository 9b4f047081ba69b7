// Comfort only: everything works without it.
"use strict";

// What is chosen holds at once.
for (const select of document.querySelectorAll("form.choices select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// Fields that say nothing stay out of the address.
for (const form of document.querySelectorAll("form[method=get]")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) {
      if (field.name && field.value === "") field.disabled = true;
    }
  });
}

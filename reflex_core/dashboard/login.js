"use strict";
document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("token");
  const error = document.getElementById("error");
  error.textContent = "";
  try {
    const response = await fetch("/reflex/login", {
      method: "POST",
      headers: { "content-type": "application/json", "x-reflex-admin": "1" },
      body: JSON.stringify({ token: field.value }),
    });
    if (response.ok) {
      location.reload();
      return;
    }
    error.textContent = response.status === 401 ? "That is not the token." : `Refused (${response.status}).`;
  } catch {
    error.textContent = "The proxy does not answer.";
  }
  field.select();
});

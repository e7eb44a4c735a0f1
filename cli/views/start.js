const data = JSON.parse($("data").textContent);
if (data.live) showLive(data); else if (data.film) showFilm(data); else showReport(data);

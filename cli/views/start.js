const data = JSON.parse($("data").textContent);
if (data.live) showLive(data); else showReport(data);

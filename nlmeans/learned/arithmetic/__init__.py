"""How means of torch features are computed in bounded memory: routes, windows, maps, patches."""

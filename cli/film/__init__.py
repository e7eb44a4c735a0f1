"""Films: pictures in time, denoised with their neighbours; sound, subtitles and time stamps are copied."""

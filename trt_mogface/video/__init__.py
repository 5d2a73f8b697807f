"""Video: many files and cameras through one model; faces, tracks and events out."""

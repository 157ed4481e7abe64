"""Video segmenters: images in the order of time -> masks with identities. Each backend is one file, imported lazily."""

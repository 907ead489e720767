"""One declaration per value: from construct layouts to strict straight-line codecs."""

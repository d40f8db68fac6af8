"""Reading and writing files: pictures, arrays, HDR files, depth maps and assets."""

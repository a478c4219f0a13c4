"""PyTorch's CUDA build without the CUDA libraries, for machines that have no GPU.

The wheel links to 4 GB of libraries that a CPU loads and never calls. ``select`` leaves their packages out of a lock
file; ``complete`` then replaces each library by a stand-in of a few kilobytes. Calling into one ends the process with a
sentence: an image built this way is for machines without a GPU only. Everything here runs inside the image build (the
Dockerfile's ``CUDA=no``), so it uses nothing but the standard library.
"""

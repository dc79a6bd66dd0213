"""dss_jupyter: what makes a Jupyter server one of dssd's services: each kernel in a box of its own before its first line, kernels that outlive
the server, no secrets within their reach. Nothing of Jupyter's own files is changed."""

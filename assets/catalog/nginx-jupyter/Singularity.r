Bootstrap: debootstrap
OSVersion: bookworm

%help
    Jupyter notebooks in R, with ggplot2, dplyr, tidyr and lme4, on port 8888.

    Your notebooks are in /opt/notebooks. Bind a folder of your own over it, and they are files of
    yours; or keep them inside the image, and send the image to someone:

        carrel run -p 8888 -B .:/opt/notebooks nginx-jupyter:r
        carrel run -p 8888 --writable jupyter-r.sif

    For further packages make one of your own (carrel catalog copy nginx-jupyter:r FOLDER), and add their
    Debian names (r-cran-…) to %post.

%labels
    org.opencontainers.image.title        Jupyter notebook for R
    org.opencontainers.image.description  Notebooks in R, with ggplot2, dplyr, tidyr and lme4
    org.opencontainers.image.version      1.0
    org.opencontainers.image.licenses     BSD-3-Clause AND MIT AND GPL-2.0-or-later
    org.opencontainers.image.documentation https://irkernel.github.io/
    carrel.category               notebook
    carrel.keywords               jupyter, R, notebook, ggplot2, dplyr, lme4, mixed models, statistics, plot
    carrel.port.8888              http /tree Notebook
    carrel.bind./opt/notebooks    rw The folder with your notebooks (without one, they are kept inside the image)
    carrel.ready                  8888 /api 60s
    carrel.writable               ask
    carrel.cite                   doi:10.3233/978-1-61499-649-1-87
    carrel.example                carrel run -p 8888 -B .:/opt/notebooks nginx-jupyter:r

%files
    start-notebook /usr/local/bin/start-notebook
    Welcome-R.ipynb /opt/notebooks/Welcome.ipynb

%environment
    # What the image has, and nothing that happens to lie in the user's home.
    export PYTHONNOUSERSITE=1
    export R_LIBS_USER=/nonexistent
    export LC_ALL=C.UTF-8

%post
    apt-get update
    apt-get -y install --no-install-recommends jupyter-notebook r-cran-irkernel r-cran-ggplot2 r-cran-dplyr r-cran-tidyr r-cran-lme4 fonts-dejavu-core
    apt-get clean
    rm -rf /var/lib/apt/lists/*

    # R is what is offered; the kernel for Python came with the server.
    rm -rf /usr/share/jupyter/kernels/python3
    chmod 0755 /usr/local/bin/start-notebook
    chmod 0777 /opt/notebooks
    chmod 0666 /opt/notebooks/Welcome.ipynb

%runscript
    exec start-notebook --KernelSpecManager.ensure_native_kernel=False --MultiKernelManager.default_kernel_name=ir "$@"

%startscript
    exec start-notebook --KernelSpecManager.ensure_native_kernel=False --MultiKernelManager.default_kernel_name=ir "$@"

%test
    set -e
    Rscript --vanilla -e 'library(IRkernel); library(ggplot2); library(dplyr); library(tidyr); library(lme4)'
    test -r /usr/share/jupyter/kernels/ir/kernel.json
    test -r /opt/notebooks/Welcome.ipynb
